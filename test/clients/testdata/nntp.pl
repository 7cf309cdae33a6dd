# SPDX-License-Identifier: Apache-2.0
use strict;
use warnings;
use Net::NNTP;

my ($host, $port) = @ARGV;
# What the server says goes to the standard error.
Net::NNTP->new(Host => $host, Port => $port, Timeout => 20, Debug => 1) or exit 1;
