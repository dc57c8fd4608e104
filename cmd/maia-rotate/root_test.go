package main

import (
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"", exitOK, "sandbox"},
		{"--help", exitOK, "Available Commands"},
		{"sandbox --help", exitOK, "--fault"},
		{"sandbx", exitUsage, `unknown command "sandbx"`},
		{"--nope", exitUsage, "unknown flag: --nope"},
		{"sandbox --nope", exitUsage, "maia-rotate sandbox: unknown flag: --nope"},
		{"sandbox extra", exitUsage, `unexpected argument "extra"`},
		{"sandbox --fault", exitUsage, "flag needs an argument"},
		{"sandbox --fault no-such", exitUsage, `unknown fault "no-such"; --fault list shows all`},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := runFor(t, strings.Fields(test.args)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("exit code %d, expected %d:\n%s\n%s", code, test.code, stdout, stderr)
			}
			if (code == exitOK) != (stderr == "") || (code == exitOK) != (stdout != "") {
				t.Errorf("on the wrong stream: %q, %q", stdout, stderr)
			}
			checkPlain(t, stdout+stderr)
		})
	}
}
