package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
)

// findings shows a report: a line for what is in order, and below what is not the reason and how to put it right.
func (p *textPrinter) findings(report doctor.Report) {
	for _, finding := range report.Findings {
		p.finding(finding)
	}
	for _, skipped := range report.NotChecked {
		p.wrapped("  ", "    ", fmt.Sprintf("not checked: %s (%s)", strings.Join(skipped.Checks, ", "), skipped.Because))
	}
}

func (p *textPrinter) finding(finding doctor.Finding) {
	const (
		column = "  %s  %-21s"
		indent = "           "
	)
	if finding.Level == doctor.OK && finding.Hint == "" {
		head := fmt.Sprintf(column, p.level(finding.Level), finding.Check)
		width := len(fmt.Sprintf(column, "problem", finding.Check)) // without the codes of colours
		lines := wrap(finding.Text, maxWidth-width-2)
		p.printf("%s  %s\n", head, strings.Join(lines, "\n"+strings.Repeat(" ", width+2)))
		return
	}
	p.printf("  %s  %s\n", p.level(finding.Level), finding.Check)
	p.wrapped(indent, indent, finding.Text)
	p.hint(indent, finding.Hint)
}

// level is the level in a column of its own.
func (p *textPrinter) level(level doctor.Level) string {
	colour := map[doctor.Level]string{doctor.OK: green, doctor.Warning: yellow, doctor.Problem: red}[level]
	return p.in(colour, fmt.Sprintf("%-7s", level))
}

// hint shows how to put something right: in words, and below them the commands, which can be copied as they stand.
func (p *textPrinter) hint(indent, hint string) {
	if hint == "" {
		return
	}
	text, commands, _ := strings.Cut(hint, "\n")
	p.wrapped(indent+"→ ", indent+"  ", text)
	indent += "    "
	for command := range strings.Lines(commands) {
		p.printf("%s%s\n", indent, strings.Join(wrapCommand(command, maxWidth-len(indent)-len("   \\")), " \\\n"+indent+"  "))
	}
}

// wrapCommand breaks a command into lines, of which none ends between a flag and its value, or between quotes.
func wrapCommand(command string, width int) []string {
	const space = "\x00" // one at which no line may end
	words := strings.Fields(command)
	quoted := false
	for i := range words[1:] {
		quoted = quoted != (strings.Count(words[i], "'")%2 == 1)
		if quoted || strings.HasPrefix(words[i], "--") && !strings.HasPrefix(words[i+1], "--") {
			words[i] += space
		} else {
			words[i] += " "
		}
	}
	lines := wrap(strings.Join(words, ""), width)
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, space, " ")
	}
	return lines
}

// wrapped prints a text with one indent before its first line and another before the rest.
func (p *textPrinter) wrapped(first, rest, text string) {
	width := maxWidth - max(utf8.RuneCountInString(first), utf8.RuneCountInString(rest))
	p.printf("%s%s\n", first, strings.Join(wrap(text, width), "\n"+rest))
}

// counted sums a report up.
func (p *textPrinter) counted(problems, warnings int) string {
	switch {
	case problems > 0 && warnings > 0:
		return p.in(red, plural(problems, "problem")+", "+plural(warnings, "warning")+".")
	case problems > 0:
		return p.in(red, plural(problems, "problem")+".")
	case warnings > 0:
		return p.in(yellow, "No problem, "+plural(warnings, "warning")+".")
	}
	return p.in(green, "No problem, no warning.")
}
