// Command function is the Lambda function of the tests: the event says what it
// does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string
	Text string
}

type answer struct {
	PID       int
	Env       []string
	Deadline  time.Time
	RequestID string
	ARN       string
	Status    []int
	Text      string
}

func main() {
	if os.Getenv("INIT") == "exit" {
		os.Exit(3)
	}
	if os.Getenv("INIT") == "error" {
		post("init/error", `{"errorType":"Init","errorMessage":"no configuration"}`)
		select {} // waits to be ended
	}
	if os.Getenv("INIT") == "bad error" {
		fmt.Println("status", post("init/error", `no JSON`))
		os.Exit(0)
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	lc, _ := lambdacontext.FromContext(ctx)
	a := answer{PID: os.Getpid(), RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn, Text: e.Text}
	a.Deadline, _ = ctx.Deadline()
	switch e.Do {
	case "print":
		fmt.Println("out", e.Text)
		fmt.Fprintln(os.Stderr, "err", e.Text)
	case "env":
		a.Env = os.Environ()
	case "error":
		return nil, errors.New(e.Text)
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(len(e.Text))
	case "hang":
		fmt.Println("hanging")
		select {}
	case "wait for file":
		fmt.Println("hanging")
		for {
			if _, err := os.Stat(e.Text); err == nil {
				return a, nil
			}
			time.Sleep(time.Millisecond)
		}
	case "large":
		return strings.Repeat("a", 7<<20), nil
	case "break the protocol":
		a.Status = append(a.Status,
			post("invocation/00000000-0000-0000-0000-000000000000/response", "{}"),
			post("invocation/00000000-0000-0000-0000-000000000000/error", "{}"),
			get("invocation/next"),
			get("invocation/"+lc.AwsRequestID+"/response"),
			post("invocation/"+lc.AwsRequestID+"/response", `{"Text":"first"}`),
			post("invocation/"+lc.AwsRequestID+"/response", `{"Text":"second"}`))
		fmt.Println("statuses", a.Status)
		os.Exit(0)
	}
	return a, nil
}

func url(path string) string {
	return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/" + path
}

func post(path, body string) int {
	return status(http.Post(url(path), "application/json", strings.NewReader(body)))
}

func get(path string) int { return status(http.Get(url(path))) }

func status(resp *http.Response, err error) int {
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
