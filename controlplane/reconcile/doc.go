// SPDX-License-Identifier: Apache-2.0

// Package reconcile makes the kernel agree with what was decided: it derives the
// rows that are wanted, reads back those that are there, and carries out the
// difference in an order in which nothing ever points at nothing. It must not
// know why a service serves or says sorry.
package reconcile
