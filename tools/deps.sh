#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that are missing for what is named: demo, test,
# bench or check. Does nothing when all programs are there.
set -eu

demo="qemu-system-x86_64=qemu-system-x86 busybox=busybox-static bpftool=bpftool"
test="$demo ipvsadm=ipvsadm nginx=nginx-light curl=curl wget=wget iperf3=iperf3 ethtool=ethtool"
test="$test node=nodejs /usr/bin/python3=python3 javac=default-jdk-headless chromium=chromium openssl=openssl"
test="$test mariadbd=mariadb-server pg_ctlcluster=postgresql redis-server=redis-server memcached=memcached slapd=slapd mosquitto=mosquitto freeradius=freeradius rabbitmq-server=rabbitmq-server"
test="$test swaks=swaks /usr/share/perl5/IO/Socket/INET6.pm=libio-socket-inet6-perl mariadb=mariadb-client psql=postgresql-client redis-cli=redis-tools dig=bind9-dnsutils ldapsearch=ldap-utils"
test="$test unbound=unbound exim4=exim4-daemon-light vsftpd=vsftpd /usr/lib/dovecot/imap=dovecot-imapd /usr/lib/dovecot/pop3=dovecot-pop3d sshd=openssh-server ssh-keygen=openssh-client chronyd=chrony snmpd=snmpd"
test="$test gcc=gcc g++=g++ /usr/include/postgresql/libpq-fe.h=libpq-dev /usr/lib/nagios/plugins/check_tcp=monitoring-plugins-basic /usr/lib/nagios/plugins/check_dns=monitoring-plugins-standard ping=iputils-ping pgrep=procps"
bench="$demo nginx=nginx-light wrk=wrk keepalived=keepalived"
check="clang-19=clang-19 llvm-strip-19=llvm-19 clang-format-19=clang-format-19 /usr/include/bpf/bpf_helpers.h=libbpf-dev"

case "${1:-}" in
demo) wanted=$demo ;;
test) wanted=$test ;;
bench) wanted=$bench ;;
check) wanted=$check ;;
*) echo "usage: $0 demo|test|bench|check" >&2; exit 2 ;;
esac

missing=
for pair in $wanted; do
	case "${pair%%=*}" in
	/*) [ -e "${pair%%=*}" ] ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null ;;
	esac || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "$0: please install:$missing" >&2
	exit 1
fi

# No package may start its service here, as nginx would.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
install() {
	# shellcheck disable=SC2086 # a list of words
	apt-get install -qq -y --no-install-recommends $missing
}
echo "installing$missing"
if ! install >/dev/null 2>&1; then # the package lists may be missing, or old
	apt-get update -qq
	install >/dev/null
fi
