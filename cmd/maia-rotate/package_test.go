package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the function")
	}
	for cloud, line := range map[string]string{
		"aws":   `^(\S+)  [1-9][0-9]+ bytes  sha256 [0-9a-f]{64}  CodeSha256 [A-Za-z0-9+/]{43}=\n$`,
		"azure": `^(\S+)  [1-9][0-9]+ bytes  sha256 [0-9a-f]{64}\n$`,
		"gcp":   `^(\S+)  [1-9][0-9]+ bytes  sha256 [0-9a-f]{64}\n$`,
	} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "function.zip")
			code, stdout, stderr := runFor(t, "package", cloud, "-o", out)
			if code != exitOK || stderr != "" {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if found := regexp.MustCompile(line).FindStringSubmatch(stdout); found == nil || found[1] != out {
				t.Errorf("printed is %q", stdout)
			}
			if _, err := os.Stat(out); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPackageOutsideOfACheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := runFor(t, "package", "aws", "-o", "function.zip")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "maia-rotate package aws: pack: needs a checkout of") {
		t.Errorf("exit code %d: %q, %q", code, stdout, stderr)
	}
	if _, err := os.Stat("function.zip"); err == nil {
		t.Error("there is a file all the same")
	}
}

func TestPackageUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"package", exitOK, "aws"},
		{"package --help", exitOK, "Available Commands"},
		{"package aws --help", exitOK, "--output file"},
		{"package azur", exitUsage, `unknown command "azur"`},
		{"package aws", exitUsage, "-o is not set"},
		{"package azure", exitUsage, "-o is not set"},
		{"package gcp", exitUsage, "-o is not set"},
		{"package aws -o", exitUsage, "flag needs an argument"},
		{"package aws function.zip", exitUsage, `unexpected argument "function.zip"`},
		{"package aws --arch amd64 -o function.zip", exitUsage, "unknown flag: --arch"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := runFor(t, strings.Fields(test.args)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("exit code %d, expected %d:\n%s\n%s", code, test.code, stdout, stderr)
			}
			checkPlain(t, stdout+stderr)
		})
	}
}
