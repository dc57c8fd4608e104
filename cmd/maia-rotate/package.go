package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/maia-rotate/maia-rotate/internal/pack"
)

func newPackage() *cobra.Command {
	command := &cobra.Command{
		Use:   "package",
		Short: "Pack a function for its cloud",
		Args:  noArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPackageAWS(), newPackageAzure(), newPackageGCP())
	return command
}

func newPackageAWS() *cobra.Command {
	return newPackageOf(&cobra.Command{
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
	}, func(command *cobra.Command, out string) (string, error) {
		archive, err := pack.AWS(command.Context(), out)
		return fmt.Sprintf("%s  %d bytes  sha256 %s  CodeSha256 %s", archive.Path, archive.Size, archive.Hex(), archive.CodeSHA256()), err
	})
}

func newPackageAzure() *cobra.Command {
	return newPackageOf(&cobra.Command{
		Use:   "azure -o FILE.zip",
		Short: "Build the rotation function and pack it for Azure Functions",
		Long: `Build the rotation function and pack it for Azure Functions.

The zip file has a program for linux/amd64, rotator, which is a custom handler; time zones for it;
host.json; and the folder of the function, RotateRunnerSecrets. The same source and the same version of Go make the same
bytes. A file that is there already is replaced when all is done; a build that fails leaves it as it
was. It needs Go and a checkout of this module.

What is printed is one line: the path, the size, and the SHA-256 in hexadecimal.

Exit codes: 0 if the file is written, 1 if it is not, 2 if the command line is wrong.`,
		Example: `  maia-rotate package azure -o function.zip
  az functionapp deployment source config-zip -g GROUP -n APP --src function.zip`,
	}, func(command *cobra.Command, out string) (string, error) {
		archive, err := pack.Azure(command.Context(), out)
		return fmt.Sprintf("%s  %d bytes  sha256 %s", archive.Path, archive.Size, archive.Hex()), err
	})
}

func newPackageGCP() *cobra.Command {
	return newPackageOf(&cobra.Command{
		Use:   "gcp -o FILE.zip",
		Short: "Pack the source from which Google Cloud builds the rotation function",
		Long: `Pack the source from which Google Cloud builds the rotation function.

The zip file has the packages that the function needs, go.mod, go.sum, and a package at its root, as
the buildpack for Go functions wants it. It goes into a bucket for Terraform, or unpacked into a
folder for gcloud functions deploy --source; the entry point is RotateRunnerSecrets. The same source
makes the same bytes. A file that is there already is replaced when all is done. It needs Go and a
checkout of this module; nothing is compiled here.

What is printed is one line: the path, the size, and the SHA-256 in hexadecimal.

Exit codes: 0 if the file is written, 1 if it is not, 2 if the command line is wrong.`,
		Example: `  maia-rotate package gcp -o function.zip
  gcloud storage cp function.zip gs://BUCKET/`,
	}, func(command *cobra.Command, out string) (string, error) {
		archive, err := pack.GCP(command.Context(), out)
		return fmt.Sprintf("%s  %d bytes  sha256 %s", archive.Path, archive.Size, archive.Hex()), err
	})
}

// newPackageOf adds to a command what all of them have; pack returns the line to print.
func newPackageOf(command *cobra.Command, pack func(command *cobra.Command, out string) (string, error)) *cobra.Command {
	var out string
	command.Flags().StringVarP(&out, "output", "o", "", "the zip `file` to write (required)")
	_ = command.MarkFlagFilename("output", "zip")
	command.Args = noArgs
	command.DisableFlagsInUseLine = true
	command.RunE = func(command *cobra.Command, _ []string) error {
		if out == "" {
			return usageError{errors.New("-o is not set: it says where the zip file goes")}
		}
		line, err := pack(command, out)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), line)
		return err
	}
	return command
}
