// SPDX-License-Identifier: Apache-2.0

// Command coprocess is a check in a program of its own: it passes when the server
// sends a line that begins with the setting "begin" as soon as it is connected to.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/maitred-lb/maitred/checkers/module/sdk"
)

func main() {
	if err := sdk.Serve("greeting", 0, greeting); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func greeting(ctx context.Context, call sdk.Call) sdk.Result {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", call.Target.String())
	if err != nil {
		return sdk.Fail("%v", err)
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // what is read tells
	line, err := bufio.NewReaderSize(conn, 512).ReadSlice('\n')
	if err != nil {
		return sdk.Fail("no greeting: %v", err)
	}
	text := strings.TrimSpace(string(line))
	if !strings.HasPrefix(text, call.Args["begin"]) {
		return sdk.Fail("the greeting is %q", text)
	}
	return sdk.Pass("%s", text)
}
