// SPDX-License-Identifier: Apache-2.0

package kind

// netRows are the checks of the network's own services, and those that ask
// nothing of the network.
func netRows() []row {
	return []row{
		{
			name: "agent", options: agentOptions(), build: newAgent,
			doc: "An agent on the server says in a line how it is: up, down, drain, maint or a share of its weight, as HAProxy's agent-check has it.",
		},
		{
			name: "dns", port: 53, options: dnsOptions(), build: newDNS,
			doc: "The server answers a question of DNS over UDP or TCP.",
		},
		{
			name: "dot", port: 853, options: dotOptions(), build: newDoT,
			doc: "The same inside TLS.",
		},
		{
			name: "file", portless: true, options: fileOptions(), build: newFile,
			doc: "A file on the director says how the server is.",
		},
		{
			name: "icmp", portless: true, options: icmpOptions(), build: newICMP,
			doc: "The server's host answers echo requests: ping.",
		},
		{
			name: "process", portless: true, options: processOptions(), build: newProcess,
			doc: "A process is alive on the director.",
		},
		{
			name: "push", portless: true, options: pushOptions(), build: newPush,
			doc: "Somebody tells the daemon how the server is, again and again: maitred check push.",
		},
		{
			name: "udp", options: udpOptions(), build: newUDP,
			doc: "The server answers a datagram.",
		},
	}
}
