package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

func newPackage() *cobra.Command {
	command := &cobra.Command{
		Use:   "package",
		Short: "Build a function and pack it for its cloud",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPackageAWS())
	return command
}

func newPackageAWS() *cobra.Command {
	var out string
	command := &cobra.Command{
		Use:   "aws -o FILE.zip",
		Short: "Build the rotation function and pack it for AWS Lambda",
		Long: `Build the rotation function and pack it for AWS Lambda.

The zip file has one file, bootstrap, for the runtime provided.al2023 on arm64. The same source and
the same version of Go make the same bytes. A file that is there already is replaced when all is
done; a build that fails leaves it as it was. It needs Go and a checkout of this module.

What is printed is one line: the path, the size, and the SHA-256, in hexadecimal and as Lambda shows
it (CodeSha256).

Exit codes: 0 if the file is written, 1 if it is not, 2 if the command line is wrong.`,
		Example: `  maia-rotate package aws -o function.zip
  aws lambda update-function-code --function-name maia-rotate --zip-file fileb://function.zip`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if out == "" {
				return usageError{errors.New("-o is not set: it says where the zip file goes")}
			}
			return packageAWS(command.Context(), out, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	command.Flags().StringVarP(&out, "output", "o", "", "the zip `file` to write (required)")
	_ = command.MarkFlagFilename("output", "zip")
	return command
}

func packageAWS(ctx context.Context, out string, stdout io.Writer) error {
	archive, err := pack.AWS(ctx, out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s  %d bytes  sha256 %s  CodeSha256 %s\n", archive.Path, archive.Size, archive.Hex(), archive.CodeSHA256())
	return err
}
