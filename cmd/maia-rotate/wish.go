package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// wishOptions are those of the commands by which an operator asks for something.
type wishOptions struct{ reason, by string }

const (
	longestReason = 100
	longestBy     = 40
)

func (o *wishOptions) flags(command *cobra.Command) {
	command.Flags().StringVar(&o.reason, "reason", "", "why, in a few words (required)")
	command.Flags().StringVar(&o.by, "by", "", "who says so; your user name if it is not set")
}

// who asks for it.
func (o wishOptions) who() string {
	current, err := user.Current()
	if err != nil {
		return o.by
	}
	return cmp.Or(o.by, current.Username)
}

func (o wishOptions) validate() error {
	if o.reason == "" {
		return errors.New("--reason is not set: it says why, to whoever finds it")
	}
	for _, text := range []struct {
		flag, value string
		most        int
	}{{"--reason", o.reason, longestReason}, {"--by", o.by, longestBy}} {
		if len(text.value) > text.most || strings.ContainsFunc(text.value, unicode.IsControl) {
			return fmt.Errorf("%s is %q, expected one line of at most %d characters", text.flag, text.value, text.most)
		}
	}
	return nil
}

// agentFlag is of functions that serve several runners.
func agentFlag(command *cobra.Command, agents *[]string) {
	command.Flags().StringSliceVar(agents, "agent", nil, "the `ID` of a runner's agent, if it is not for all; may be repeated")
}

// showWished prints what has become of a wish for each runner, and returns what decides the exit code. text is said of those for which
// it was noted, document is what a machine gets.
func showWished(stdout io.Writer, asJSON bool, text string, result fleet.Result, document any) error {
	if asJSON {
		(&jsonPrinter{out: stdout}).line(document)
	} else {
		show := textPrinter{out: stdout, colour: colours(stdout)}
		for _, target := range result.Targets {
			said := text
			if target.Error != nil {
				said = target.Text()
			}
			show.printf("%s\n", target.Target)
			show.wrapped("  ", "  ", said)
		}
	}
	if result.Failed() {
		return errReported
	}
	return nil
}
