// SPDX-License-Identifier: Apache-2.0

// Package sorryserver answers every request with a sorry page where the kernel
// can't: inside TLS, and over HTTP/2. It knows pages, certificates and
// listeners, and how to keep a process of its own that serves them. It must not
// know services, nor who sends it clients and why.
package sorryserver
