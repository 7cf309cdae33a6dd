// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestGRPC wants the status Unavailable with the text of the page, which no broken
// connection brings.
func TestGRPC(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		s := newStage(t, attach, apologies()...)
		for _, vip := range addresses() {
			t.Run(fmt.Sprintf("%s/%s", attach, vip), func(t *testing.T) {
				s.unhurt(t, func() {
					err := s.call(t.Context(), netip.AddrPortFrom(vip, portOf(t, "grpc")))
					if got := status.Convert(err); got.Code() != codes.Unavailable || got.Message() != text {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

// call calls a method of no arguments.
func (s *stage) call(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+at.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return s.DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Invoke(ctx, "/shop.Orders/List", &emptypb.Empty{}, &emptypb.Empty{})
}
