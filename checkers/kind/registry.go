// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// Kind is a row of the table: one kind of check, how it is described, and how to
// make it.
type Kind struct {
	Name string
	Doc  string // what has to be so for it to pass: a sentence or two, for operators
	// DefaultPort is the protocol's well-known port; zero means that the check
	// or the real server must name one.
	DefaultPort uint16
	// Portless tells that the check asks no port of the server: icmp, file, push.
	Portless bool
	// Foreign tells that the code of others asks: a program or a module. It gets
	// the server's address, and heeds no Origin.
	Foreign bool
	// Options are all that New takes, described.
	Options []Option
	// New makes a checker from the options that the configuration gives, less
	// the port. All mistakes are reported at once, as OptionErrors in an error
	// made by errors.Join.
	New func(options map[string]any) (checkers.Checker, error)
}

// NeedsPort tells whether a check with these options, less the port, has to know
// one. The code of others does without, unless a command names it.
func (k Kind) NeedsPort(options map[string]any) bool {
	if k.Portless || !k.Foreign {
		return !k.Portless
	}
	command, _ := options["command"].([]any)
	return slices.ContainsFunc(command, func(arg any) bool {
		text := fmt.Sprint(arg)
		return strings.Contains(text, "{port}") || strings.Contains(text, "{target}")
	})
}

// Option describes an option of a kind of check, for the documentation and for
// editors.
type Option struct {
	Name    string
	Form    Form
	Default string // as YAML; empty: there is none
	Doc     string // what it does, with the unit: a sentence
	// Values are the only ones that a text may have; empty: any.
	Values []string
	// Options are those of a map, or of each map in a list of maps.
	Options []Option
}

// Form is how an option's value is written.
type Form string

// The forms. FormSize is a number of bytes, with a unit or without: 64KiB.
const (
	FormText     Form = "text"
	FormNumber   Form = "number"
	FormFlag     Form = "flag"
	FormDuration Form = "duration"
	FormSize     Form = "size"
	FormFile     Form = "file" // the name of one; such options end in _file
	FormList     Form = "list" // of texts or numbers
	FormMap      Form = "map"
	FormMaps     Form = "maps" // a list of maps
)

// Table is all kinds of checks, with what they need to run.
type Table struct{ kinds []Kind }

// NewTable makes the table of all kinds of checks.
func NewTable(env Env) Table {
	var t Table
	for _, r := range rows() {
		t.kinds = append(t.kinds, Kind{
			Name: r.name, Doc: r.doc, DefaultPort: r.port, Portless: r.portless, Foreign: r.foreign,
			Options: r.options, New: r.maker(env),
		})
	}
	return t
}

// row is a kind of check before it knows what it runs in.
type row struct {
	name     string
	port     uint16
	portless bool
	foreign  bool
	doc      string
	options  []Option
	build    func(Env, *options) checkers.Checker // the mistakes stay in the options
}

// rows is the table, in alphabetical order.
func rows() []row {
	all := slices.Concat(webRows(), databaseRows(), netRows(), brokerRows(), mailRows(), ownRows())
	slices.SortFunc(all, func(a, b row) int { return strings.Compare(a.name, b.name) })
	return all
}

// webRows are the kinds that look at connections and at what the web is told in.
func webRows() []row {
	return []row{
		{
			name: "grpc", options: grpcOptions(), build: newGRPC,
			doc: "The server says that a service is SERVING, by the health checking protocol of gRPC.",
		},
		{
			name: "http", port: 80, options: httpOptions(), build: newHTTP,
			doc: "The server answers a request in HTTP/1.1 or HTTP/2 with an expected status and body.",
		},
		{
			name: "http3", port: 443, options: http3Options(), build: newHTTP3,
			doc: "The same by HTTP/3 over QUIC, on a port of UDP.",
		},
		{
			name: "https", port: 443, options: httpsOptions(), build: newHTTPS,
			doc: "The same inside TLS, with a certificate that is valid for the name.",
		},
		{
			name: "tcp", options: tcpOptions(), build: newTCP,
			doc: "The server accepts a connection. Nothing is sent, unless there is a script.",
		},
		{
			name: "tls", port: 443, options: tlsCheckOptions(), build: newTLS,
			doc: "The server completes a TLS handshake with a certificate that is valid for the name.",
		},
		{
			name: "websocket", port: 80, options: webSocketOptions(), build: newWebSocket,
			doc: "The server takes a connection as a WebSocket, and says what is expected in it.",
		},
	}
}

// databaseRows are the kinds that look at databases, caches and directories.
func databaseRows() []row {
	return []row{
		{
			name: "ldap", port: 389, options: ldapOptions(), build: newLDAP,
			doc: "The directory takes the bind and finds an entry.",
		},
		{
			name: "mariadb", port: 3306, options: mysqlOptions(), build: newMySQL,
			doc: "The same as mysql.",
		},
		{
			name: "memcached", port: 11211, options: memcachedOptions(), build: newMemcached,
			doc: "The server tells its version.",
		},
		{
			name: "mongo", port: 27017, options: mongoOptions(), build: newMongo,
			doc: "The server answers hello and is a primary, a secondary or a router.",
		},
		{
			name: "mysql", port: 3306, options: mysqlOptions(), build: newMySQL,
			doc: "The server takes the login and is in the state that is wanted; without a user it greets and answers a stranger, whom it may turn down.",
		},
		{
			name: "postgres", port: 5432, options: postgresOptions(), build: newPostgres,
			doc: "The server takes the login and is in the state that is wanted; without a user it asks a stranger who that is, or turns it down as unknown.",
		},
		{
			name: "redis", port: 6379, options: redisOptions(), build: newRedis,
			doc: "The server takes the login, answers PING and is in the state that is wanted.",
		},
		{
			name: "valkey", port: 6379, options: redisOptions(), build: newRedis,
			doc: "The same as redis.",
		},
	}
}

// brokerRows are the kinds that look at brokers of messages, at calls and logins.
func brokerRows() []row {
	return []row{
		{
			name: "amqp", port: 5672, options: amqpOptions(), build: newAMQP,
			doc: "The broker greets in AMQP 0-9-1, and lets the user open a virtual host.",
		},
		{
			name: "kafka", port: 9092, options: kafkaOptions(), build: newKafka,
			doc: "The broker answers, knows enough others, and leaders for the topic.",
		},
		{
			name: "mqtt", port: 1883, options: mqttOptions(), build: newMQTT,
			doc: "The broker takes a client.",
		},
		{
			name: "radius", port: 1812, options: radiusOptions(), build: newRadius,
			doc: "The server answers for a user as is expected; without a user it answers Status-Server (RFC 5997).",
		},
		{
			name: "sip", port: 5060, options: sipOptions(), build: newSIP,
			doc: "The server answers OPTIONS with an expected status.",
		},
	}
}

// ownRows are the kinds that others have written: modules and programs.
func ownRows() []row {
	return []row{
		{
			name: "coprocess", foreign: true, options: coprocessOptions(), build: newCoprocess,
			doc: "A program that keeps running and is asked in frames says so.",
		},
		{
			name: "exec", foreign: true, options: programOptions(), build: newExec,
			doc: "A program exits with 0. A line \"weight 75\" of what it prints is the share of its weight, in percent, that the server should have; 0 drains it.",
		},
		{
			name: "module", foreign: true, options: moduleOptions(), build: newModule,
			doc: "A shared object says so.",
		},
		{
			name: "nagios", foreign: true, options: nagiosOptions(), build: newNagios,
			doc: "A plugin of Nagios exits with 0; 1 is degraded, 2 fails, 3 is unknown. The message has its text and its figures.",
		},
	}
}

// maker reads options strictly: what is wrong with them, and those that build never
// asked for, is an error.
func (r row) maker(env Env) func(map[string]any) (checkers.Checker, error) {
	return func(values map[string]any) (checkers.Checker, error) {
		o := newOptions(values)
		o.ported = !r.portless
		checker := r.build(env, o)
		if err := o.err(); err != nil {
			return nil, err
		}
		return checker, nil
	}
}

// Lookup finds a kind of check by the name that it has in the configuration.
func (t Table) Lookup(name string) (Kind, bool) {
	i := slices.IndexFunc(t.kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return t.kinds[i], true
}

// Kinds lists all kinds of checks in alphabetical order.
func (t Table) Kinds() []Kind { return slices.Clone(t.kinds) }

// Names lists their names in the same order.
func (t Table) Names() []string {
	var names []string
	for _, k := range t.kinds {
		names = append(names, k.Name)
	}
	return names
}
