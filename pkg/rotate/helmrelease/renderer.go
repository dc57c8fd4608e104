package helmrelease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/client-go/rest"
)

// rendererVariable has a process of this program render one chart, which it reads from its standard input, and end.
const rendererVariable = "MAIA_ROTATE_RENDERER"

// The main package of a function is Google's: there is no other place at which the program could become a renderer.
func init() {
	if os.Getenv(rendererVariable) != "" {
		os.Exit(renderer(os.Stdin, os.Stdout))
	}
}

// rendering is what is to be rendered.
type rendering struct {
	Chart        *chart.Chart
	Values       map[string]any // of the release
	Release      chartutil.ReleaseOptions
	Capabilities *chartutil.Capabilities
}

// question is what a renderer says: what it asks the cluster for, or, at its end, what it has rendered or where it has failed.
type question struct {
	Path   string `json:",omitempty"` // of what is asked for, with its query
	Accept string `json:",omitempty"`

	Files  map[string]string `json:",omitempty"` // by their names in the chart
	Failed bool              `json:",omitempty"`
	Where  string            `json:",omitempty"` // in which template, and line; no text of the failure, which may hold values
}

// reply is what was found.
type reply struct {
	Status int
	Type   string
	Body   []byte
}

// renderer renders one chart within its limits, and returns the exit code of the process.
func renderer(in io.Reader, out io.Writer) int {
	asked, answers := json.NewDecoder(in), json.NewEncoder(out)
	var job rendering
	if err := asked.Decode(&job); err != nil || job.Chart == nil || limitMemory() != nil {
		return 1
	}
	if answers.Encode(job.render(asking{asked, answers})) != nil {
		return 1
	}
	return 0
}

func (j rendering) render(cluster http.RoundTripper) question {
	values, err := chartutil.ToRenderValues(j.Chart, j.Values, j.Release, j.Capabilities)
	if err != nil {
		return question{Failed: true}
	}
	files, err := engine.RenderWithClient(j.Chart, values, &rest.Config{Host: "http://cluster", QPS: -1, Transport: cluster})
	if err != nil {
		return question{Failed: true, Where: place(err, j.Chart)}
	}
	// What is expensive to parse is refused here, so that the other process does not parse it. Helm's own error of it would quote
	// it.
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		if _, _, err := releaseutil.SortManifests(map[string]string{name: files[name]}, nil, releaseutil.InstallOrder); err != nil {
			return question{Failed: true, Where: name + ", which is no YAML"}
		}
	}
	return question{Files: files}
}

var position = regexp.MustCompile(`([^\s():]+):[0-9]+(:[0-9]+)?`)

// place is the template and line that the error of a rendering names first; empty if it names none.
func place(err error, c *chart.Chart) string {
	for _, found := range position.FindAllStringSubmatch(err.Error(), -1) {
		for _, template := range c.Templates {
			if found[1] == path.Join(c.ChartFullPath(), template.Name) {
				return found[0]
			}
		}
	}
	return ""
}

// asking is a transport to the cluster by way of the process that has started this one. That process has the credentials, and
// refuses requests for anything outside the release's namespace.
type asking struct {
	replies   *json.Decoder
	questions *json.Encoder
}

func (a asking) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		return nil, fmt.Errorf("a chart may only read, not %s", request.Method)
	}
	if err := a.questions.Encode(question{Path: request.URL.RequestURI(), Accept: request.Header.Get("Accept")}); err != nil {
		return nil, err
	}
	var said reply
	if err := a.replies.Decode(&said); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: said.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {said.Type}}, Body: io.NopCloser(bytes.NewReader(said.Body)), ContentLength: int64(len(said.Body)),
	}, nil
}
