// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"reflect"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// watchPeriod is how long a program that somebody took off an interface may be
// missing before that is seen: the kernel tells nobody of it.
const watchPeriod = time.Second

// attachmentWatch asks for a comparison with the kernel as soon as the programs
// are not where they were.
type attachmentWatch struct {
	read   func() ([]api.Attachment, error)
	resync func()
}

func (attachmentWatch) String() string { return "attachments" }

// Run looks until ctx ends. What can't be read is for the comparison to report.
func (w attachmentWatch) Run(ctx context.Context) error {
	was, failed := w.read()
	return every(ctx, watchPeriod, func() {
		is, err := w.read()
		if (err == nil) != (failed == nil) || !reflect.DeepEqual(is, was) {
			w.resync()
		}
		was, failed = is, err
	})
}
