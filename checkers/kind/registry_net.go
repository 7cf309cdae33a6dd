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
			name: "ntp", port: 123, options: ntpOptions(), build: newNTP,
			doc: "The server tells the time, and is near enough to the director's.",
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
			name: "snmp", port: 161, options: snmpOptions(), build: newSNMP,
			doc: "The agent on the server tells the value that is wanted of an object.",
		},
		{
			name: "udp", options: udpOptions(), build: newUDP,
			doc: "The server answers a datagram.",
		},
	}
}

// mailRows are the checks of servers that greet in lines, and of ssh.
func mailRows() []row {
	return []row{
		{
			name: "ftp", port: 21, options: lineOptions(true), build: newFTP,
			doc: "The server greets in FTP, and takes the login if there is one.",
		},
		{
			name: "imap", port: 143, options: lineOptions(true), build: newIMAP,
			doc: "The server greets in IMAP, says what it can, and takes the login if there is one.",
		},
		{
			name: "imaps", port: 993, options: lineOptions(false), build: newIMAPS,
			doc: "The same inside TLS.",
		},
		{
			name: "lmtp", port: 24, options: smtpOptions(true), build: newLMTP,
			doc: "The server greets in LMTP and takes the login if there is one.",
		},
		{
			name: "nntp", port: 119, options: lineOptions(true), build: newNNTP,
			doc: "The server greets in NNTP, and takes the login if there is one.",
		},
		{
			name: "pop3", port: 110, options: lineOptions(true), build: newPOP3,
			doc: "The server greets in POP3, and takes the login if there is one.",
		},
		{
			name: "pop3s", port: 995, options: lineOptions(false), build: newPOP3S,
			doc: "The same inside TLS.",
		},
		{
			name: "smtp", port: 25, options: smtpOptions(true), build: newSMTP,
			doc: "The server greets in SMTP and takes the login if there is one. No mail is sent.",
		},
		{
			name: "smtps", port: 465, options: smtpOptions(false), build: newSMTPS,
			doc: "The same inside TLS.",
		},
		{
			name: "ssh", port: 22, options: sshOptions(), build: newSSH,
			doc: "The server says its version in SSH, shows the host key that is wanted, and takes the login if there is one.",
		},
	}
}
