package helmrelease

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// A chart is a program of whoever may change the release, and nothing bounds Go's templates: it is rendered by a process of its
// own, which ends when it takes too much. The vendor's chart takes some milliseconds and megabytes.
const (
	renderTimeout   = 20 * time.Second
	renderMemory    = 96 << 20 // bytes
	longestRendered = 2 << 20  // bytes
	longestLookup   = 8 << 20  // bytes, of one
)

// rendered is a chart whose templates hold, as plain text, what the chart renders to with these values.
func (r *Runner) rendered(ctx context.Context, c *chart.Chart, last, base *release.Release, changed map[string]any) (*chart.Chart, error) {
	capabilities, err := r.capabilities()
	if err != nil {
		return nil, r.failure("ask the cluster what it can do", err)
	}
	// As in an upgrade that resets to the chart's values, and then reuses the release's.
	values := chartutil.CoalesceTables(changed, deepCopy(base.Config))
	files, err := r.render(ctx, rendering{Chart: c, Values: values, Capabilities: capabilities, Release: chartutil.ReleaseOptions{
		Name: r.config.Release, Namespace: r.config.Namespace, Revision: last.Version + 1, IsUpgrade: true,
	}})
	if err != nil {
		return nil, err
	}
	still := *c
	still.Templates = nil
	for _, template := range c.Templates {
		if text, ok := files[path.Join(c.ChartFullPath(), template.Name)]; ok {
			still.Templates = append(still.Templates, &chart.File{Name: template.Name, Data: []byte(verbatim(text))})
		}
	}
	return &still, nil
}

// upgradeRendered runs an upgrade with the base's chart, rendered before, so that Helm itself renders nothing.
func (r *Runner) upgradeRendered(ctx context.Context, upgrade *action.Upgrade, last, base *release.Release,
	secret maia.Secret) (*release.Release, error) {
	still, err := r.rendered(ctx, base.Chart, last, base, override(r.config.SecretPath, secret))
	if err != nil {
		return nil, err
	}
	*r.cluster.charts = chartPair{rendered: still, own: base.Chart}
	upgrade.SkipSchemaValidation = true // the renderer has done it: a schema may refer to others by any address
	upgraded, err := upgrade.RunWithContext(ctx, r.config.Release, still, override(r.config.SecretPath, secret))
	if upgraded != nil {
		upgraded.Chart = base.Chart
	}
	return upgraded, err
}

// verbatim is a template that renders a text.
func verbatim(text string) string { return strings.ReplaceAll(text, "{{", `{{"{{"}}`) }

// capabilities are what a chart learns from Helm of the cluster.
func (r *Runner) capabilities() (*chartutil.Capabilities, error) {
	version, err := r.cluster.discovery.ServerVersion()
	if err != nil {
		return nil, err
	}
	known, err := action.GetVersionSet(r.cluster.discovery)
	if err != nil {
		return nil, err
	}
	return &chartutil.Capabilities{
		APIVersions: known, HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
	}, nil
}

// render has a process of its own render.
func (r *Runner) render(ctx context.Context, job rendering) (map[string]string, error) {
	what := "render the chart of release " + r.config.Release
	inTime, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return nil, r.failure(what, err)
	}
	process := exec.CommandContext(inTime, program)
	process.Env = []string{rendererVariable + "=1", "GOMAXPROCS=1", "GOTRACEBACK=none"} // nothing of the function's own
	in, inErr := process.StdinPipe()
	out, outErr := process.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, r.failure(what, err)
	}
	if err := process.Start(); err != nil {
		return nil, r.failure(what, err)
	}
	said, unread, err := r.converse(inTime, job, in, out)
	cancel() // it has nothing more to say
	_ = process.Wait()
	switch {
	case unread != nil:
		return nil, r.failure("read what the chart of release "+r.config.Release+" asks for", unread)
	case ctx.Err() != nil:
		return nil, r.failure(what, ctx.Err())
	case err != nil:
		return nil, rotate.Errorf(rotate.Configuration,
			"rendering the chart of release %s takes more than %s, %d MiB of memory or %d MiB of text",
			r.config.Release, renderTimeout, renderMemory>>20, longestRendered>>20).
			WithHint("find out who has changed the chart, and upgrade the release with one that renders less")
	case said.Failed:
		where := ""
		if said.Where != "" {
			where = " at " + said.Where
		}
		return nil, rotate.Errorf(rotate.Configuration, "the chart of release %s cannot be rendered with its values%s",
			r.config.Release, where).
			WithHint("see what helm upgrade --reuse-values --dry-run says; it is not quoted here, because it may hold values")
	}
	return said.Files, nil
}

// converse has a renderer render, answers its questions about the cluster, and returns its last word. A failed read of the
// cluster ends it.
func (r *Runner) converse(ctx context.Context, job rendering, in io.Writer, out io.Reader) (last question, unread, err error) {
	asked, answers := json.NewDecoder(io.LimitReader(out, longestRendered)), json.NewEncoder(in)
	if err := answers.Encode(job); err != nil {
		return question{}, nil, err
	}
	for {
		var said question
		if err := asked.Decode(&said); err != nil {
			return question{}, nil, err
		}
		if said.Path == "" {
			return said, nil, nil
		}
		found, err := r.clusterRead(ctx, said)
		if err != nil {
			return question{}, err, nil
		}
		if err := answers.Encode(found); err != nil {
			return question{}, nil, err
		}
	}
}

// clusterRead asks the cluster for what a chart asks for. That there is no such thing is an answer.
func (r *Runner) clusterRead(ctx context.Context, asked question) (reply, error) {
	address, _, err := rest.DefaultServerUrlFor(r.cluster.config)
	if err != nil {
		return reply{}, err
	}
	client, err := rest.HTTPClientFor(r.cluster.config)
	if err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address.String(), "/")+asked.Path, nil)
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Accept", asked.Accept)
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if code := response.StatusCode; code >= http.StatusBadRequest && code != http.StatusNotFound {
		return reply{}, apierrors.NewGenericServerResponse(code, "get", schema.GroupResource{}, "",
			"HTTP "+response.Status+" for "+request.URL.Path, 0, true)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, longestLookup+1))
	if err == nil && len(body) > longestLookup {
		err = rotate.Errorf(rotate.Configuration, "the chart of release %s asks the cluster for more than %d MiB at once", r.config.Release,
			longestLookup>>20).
			WithHint("have it ask for single objects")
	}
	return reply{Status: response.StatusCode, Type: response.Header.Get("Content-Type"), Body: body}, err
}

// chartPair is the chart of the current upgrade: as it was rendered, and as the release has it.
type chartPair struct{ rendered, own *chart.Chart }

// ownCharts are Helm's records, in which a release that was upgraded with a rendered chart has its own one.
type ownCharts struct {
	driver.Driver
	charts *chartPair
}

func (o ownCharts) Create(key string, made *release.Release) error {
	if o.charts.rendered != nil && made.Chart == o.charts.rendered {
		made.Chart = o.charts.own
	}
	return o.Driver.Create(key, made)
}
