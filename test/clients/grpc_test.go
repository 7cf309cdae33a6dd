// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// wantUnavailable wants gRPC's status with the text of the page, which no broken
// connection brings.
func (c client) wantUnavailable(t *testing.T, at netip.AddrPort) {
	t.Helper()
	err := c.call(t.Context(), at)
	if got := status.Convert(err); got.Code() != codes.Unavailable || got.Message() != text {
		t.Errorf("got %v", err)
	}
}

// call calls a method of no arguments.
func (c client) call(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+at.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return c.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Invoke(ctx, "/shop.Orders/List", &emptypb.Empty{}, &emptypb.Empty{})
}
