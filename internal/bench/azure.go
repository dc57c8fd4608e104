package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxazure "github.com/maia-rotate/maia-rotate/internal/sandbox/azure"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The operations of Azure Resource Manager, as the emulator names them.
const (
	opRead    = "read"
	opWrite   = "write"
	opRestart = "revisions/restart/action"
	opNote    = "put"
	opRenew   = "renew" // of a lease
)

// azureReads are the operations that change nothing.
var azureReads = []string{opRead, "list", "listSecrets/action", "revisions/read", "revisions/replicas/read", "get"}

// azureRotation is what was measured of one rotation of the function for Azure.
type azureRotation struct {
	calls []call // without those to renew leases
	peak  int64  // bytes; 0 is not known
}

// azureFigures packs and builds the function for Azure and prints what is measured of it.
func azureFigures(ctx context.Context, dir string, options options, print func(string, any, string), progress io.Writer) error {
	fmt.Fprintln(progress, "building for Azure")
	archive, err := pack.Azure(ctx, filepath.Join(dir, "azure.zip"))
	if err != nil {
		return err
	}
	size, err := sizeInZip(archive.Path, sandboxazure.Program)
	if err != nil {
		return err
	}
	app := filepath.Join(dir, "azure")
	if err := sandboxazure.Build(ctx, app); err != nil {
		return err
	}
	fmt.Fprintln(progress, "starting", options.starts, "processes")
	var started []time.Duration
	for range options.starts {
		one, err := startAzure(ctx, filepath.Join(app, sandboxazure.Program))
		if err != nil {
			return err
		}
		started = append(started, one)
	}
	var peak int64
	manager, maia := 0, 0
	for n := range options.azure {
		fmt.Fprintln(progress, "rotation", n+1, "of", options.azure, "on Container Apps")
		one, err := rotateAzure(ctx, app)
		if err != nil {
			return fmt.Errorf("rotation %d on Container Apps: %w", n+1, err)
		}
		if options.verbose && n == 0 {
			listCalls(progress, one.calls)
		}
		counted, err := refreshToRestart(one.calls)
		if err != nil {
			return fmt.Errorf("rotation %d on Container Apps: %w", n+1, err)
		}
		peak, manager, maia = max(peak, one.peak), max(manager, counted), max(maia, len(maiaCalls(one.calls)))
	}
	print("azure_size_bytes", size, "bytes")
	print("azure_zip_bytes", archive.Size, "bytes")
	print("azure_start_ms", fmt.Sprintf("%.1f", median(started).Seconds()*1e3), "ms")
	print("azure_rotation_peak_rss_bytes", available(peak), "bytes")
	print("azure_calls_refresh_to_restart", manager, "calls")
	print("azure_maia_calls_per_rotation", maia, "calls")
	return nil
}

// sizeInZip is how large a file is that a zip file has packed.
func sizeInZip(path, name string) (uint64, error) {
	packed, err := zip.OpenReader(path)
	if err != nil {
		return 0, err
	}
	defer packed.Close()
	i := slices.IndexFunc(packed.File, func(file *zip.File) bool { return file.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("%s has no %s", path, name)
	}
	return packed.File[i].UncompressedSize64, nil
}

// startAzure starts the function as the host does and returns the time from before the process is made until it has
// answered that it is ready. It is asked every half millisecond.
func startAzure(ctx context.Context, program string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address := listener.Addr().String()
	_ = listener.Close() // free for the function
	_, port, _ := net.SplitHostPort(address)
	var output bytes.Buffer
	command := exec.CommandContext(ctx, program)
	command.Stdout, command.Stderr = &output, &output
	command.Env = []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port,
		"AzureWebJobsStorage__accountName=maiarotate",
		"IDENTITY_ENDPOINT=http://127.0.0.1:9/msi/token", "IDENTITY_HEADER=sandbox",
		"MAIA_CONTAINER_APPS=" + sandboxazure.App,
		"MAIA_CLIENT_ID=maia-api-client", "MAIA_CLIENT_SECRET=maia-api-secret",
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if ready(ctx, &client, "http://"+address+"/") {
			took := time.Since(began)
			cancel() // kills it
			<-ended
			return took, nil
		}
		select {
		case <-time.After(500 * time.Microsecond):
		case err := <-ended:
			return 0, fmt.Errorf("the function ended before it was ready: %w\n%s", errors.Join(err, ctx.Err()), bytes.TrimSpace(output.Bytes()))
		}
	}
}

func ready(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func rotateAzure(ctx context.Context, app string) (measured azureRotation, err error) {
	recorder := recorder{step: "call"}
	world, err := sandboxazure.New(ctx, sandboxazure.Options{App: app, Wrap: func(service sandbox.Source, handler http.Handler) http.Handler {
		if service == sandbox.FromIdentity {
			return handler
		}
		recorded := recorder.wrap(service, handler)
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Header.Get("x-ms-lease-action") == opRenew { // whatever else is being done
				handler.ServeHTTP(w, request)
				return
			}
			recorded.ServeHTTP(w, request)
		})
	}})
	if err != nil {
		return measured, err
	}
	defer world.Close()
	if !world.Call(ctx) || world.Runs() != 1 {
		return measured, fmt.Errorf("it did not succeed at the first call: %s", world.Host.Output())
	}
	if measured.peak, err = peakMemory(world.Host.PID()); err != nil {
		return measured, err
	}
	if measured.calls, err = recorder.named(map[sandbox.Source][]string{
		sandbox.FromMaia: maiaNames(world.Maia.Calls()), sandbox.FromContainerApps: operations(world.Apps.Calls()),
		sandbox.FromBlobs: slices.DeleteFunc(operations(world.State.Calls()), func(name string) bool { return name == opRenew }),
	}); err != nil {
		return measured, err
	}
	for _, proof := range world.Proofs() {
		if !proof.OK {
			return measured, fmt.Errorf("%s: %s", proof.Text, proof.Detail)
		}
	}
	return measured, nil
}

// refreshToRestart counts the calls to Azure Resource Manager after the answer of the refresh, up to the order of the restart
// and with it. It leaves out those that only wait for the change of the secrets: a GET of the app that follows the change, or
// another such GET.
func refreshToRestart(calls []call) (counted int, err error) {
	refreshed, changing := false, false
	for _, made := range calls {
		switch {
		case made.service != sandbox.FromContainerApps:
			refreshed = refreshed || made.name == string(maiatest.RefreshCredentials)
			continue
		case !refreshed || changing && made.name == opRead:
			continue
		}
		counted++
		changing = made.name == opWrite
		if made.name == opRestart {
			return counted, nil
		}
	}
	return 0, errors.New("there is no refresh with a restart after it")
}
