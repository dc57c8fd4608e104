package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

//go:generate go test . -run ^TestReferenceIsCurrent$ -update

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// TestReferenceIsCurrent compares docs/cli.md with the commands.
func TestReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	want := reference(newRoot())
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/cli.md is not what the commands say: run go generate ./cmd/maia-rotate")
	}
}

// reference is one page of Markdown about all commands, with what their --help shows.
func reference(root *cobra.Command) string {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var page strings.Builder
	page.WriteString("# The command line\n\nWritten by `go generate ./cmd/maia-rotate`, from the commands themselves.\n\n")
	commands := ours(root)
	for _, command := range commands {
		anchor := strings.ReplaceAll(command.CommandPath(), " ", "-")
		fmt.Fprintf(&page, "- [`%s`](#%s): %s\n", command.CommandPath(), anchor, command.Short)
	}
	for _, command := range commands {
		text := command.Long
		if text == "" {
			text = command.Short + "."
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```\n%s\n```\n", command.CommandPath(), markdown(text), strings.TrimSpace(command.UsageString()))
	}
	return page.String()
}

// ours are the commands below one, itself included, without those that cobra adds.
func ours(command *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{command}
	for _, child := range command.Commands() {
		if name := child.Name(); name != "help" && name != "completion" {
			all = append(all, ours(child)...)
		}
	}
	return all
}

// markdown makes paragraphs of the paragraphs of a help text, and code of those that are indented.
func markdown(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if strings.HasPrefix(paragraph, "  ") {
			paragraphs[i] = "  " + strings.ReplaceAll(paragraph, "\n", "\n  ")
		} else {
			paragraphs[i] = strings.ReplaceAll(paragraph, "<", "&lt;")
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
