package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// maxWidth of a line, in characters.
const maxWidth = 100

// The colours, as escape codes of a terminal.
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

// colours reports whether the output is a terminal that may have colours (https://no-color.org).
func colours(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// textPrinter shows a run to a person.
type textPrinter struct {
	out    io.Writer
	colour bool
}

func (p *textPrinter) in(code, text string) string {
	if !p.colour {
		return text
	}
	return code + text + plain
}

func (p *textPrinter) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format, args...) // a reader who has gone does not stop the run
}

func (p *textPrinter) building(cloud cloudSandbox, fault faultInfo) {
	p.printf("%s\n\n", p.in(bold, "A rotation on this machine, from the secret's store to the runner and back"))
	if fault.name != "" {
		p.item("fault", fault.name)
		p.item("", fault.what)
	}
	p.item("function", "building "+cloud.function+" for "+runtime.GOOS+"/"+runtime.GOARCH+" (the first time takes a while)")
}

func (p *textPrinter) begin() { p.printf("\n") }

func (p *textPrinter) item(name, text string) {
	const indent = 19 // of the text
	if len([]rune(text)) > maxWidth-indent {
		text = strings.Join(wrap(text, maxWidth-indent), "\n"+strings.Repeat(" ", indent))
	}
	p.printf("  %-15s  %s\n", name, text)
}

func (p *textPrinter) event(event sandbox.Event) {
	const indent = 27 // of the text
	text := event.Text
	if event.Failed {
		text = "! " + text
	}
	lines := wrap(text, maxWidth-indent)
	if event.Failed {
		for i := range lines {
			lines[i] = p.in(yellow, lines[i])
		}
	}
	p.printf("%s  %-15s  %s\n", p.in(dim, fmt.Sprintf("%6.1f s", event.Elapsed.Seconds())), event.Source,
		strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

func (p *textPrinter) result(result result) {
	p.printf("\n")
	for _, proof := range result.proofs {
		if proof.OK {
			p.printf("  %s %s\n", p.in(green, "✓"), proof.Text)
		} else {
			p.printf("  %s %s: %s\n", p.in(red, "✗"), proof.Text, proof.Detail)
		}
	}
	verdict := p.in(green, fmt.Sprintf("All %d proofs hold.", len(result.proofs)))
	if broken := result.broken(); broken > 0 {
		verdict = p.in(red, fmt.Sprintf("%d of %d proofs do not hold.", broken, len(result.proofs)))
	}
	p.printf("\n%s in %.1f s, %s, down for %s. %s\n", plural(result.runs, result.runsWord), result.took.Seconds(),
		plural(result.refreshes, "refresh"), seconds(result.downtimes), verdict)
}

func (p *textPrinter) faults(faults []faultInfo) {
	for _, fault := range faults {
		p.printf("%-22s %s\n", fault.name, fault.what)
	}
}

func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "sh"):
		word += "e"
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func seconds(times []time.Duration) string {
	if len(times) == 0 {
		return "0 s"
	}
	texts := make([]string, len(times))
	for i, time := range times {
		texts[i] = fmt.Sprintf("%.1f s", time.Seconds())
	}
	return strings.Join(texts, " and ")
}

// wrap breaks a text at spaces into lines of at most width characters, unless a word is longer.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
