package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const (
	appCheck  = "app"
	checkWith = "check with credentials that allow "
)

// plan is what the function's own code reports of its runners, in the time that a call has. The error says why the code could not
// be run.
func (r *run) plan(ctx context.Context, config rotation.Config) (fleet.Result, error) {
	if err := r.trustworthy(config); err != nil {
		return fleet.Result{}, err
	}
	values, err := r.fromVault(ctx)
	if err != nil {
		return fleet.Result{}, err
	}
	handler := rotation.New(r.environ(values), io.Discard)
	handler.WithCredential(r.checker.Credential, r.checker.Transport)
	planned, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotation.WorkTime())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return handler.Plan(planned)
}

// blobDomains are where blob containers are.
var blobDomains = []string{"blob.core.windows.net", "blob.core.usgovcloudapi.net", "blob.core.chinacloudapi.cn", "blob.storage.azure.net"}

// trustworthy checks the addresses to which the operator's tokens would go. They are settings of the function app, and whoever
// may change those must not get tokens of others.
func (r *run) trustworthy(config rotation.Config) error {
	if !strings.EqualFold(config.ManagerURL, r.manager.url) {
		return fmt.Errorf("the function asks %s, and this check %s: set %s here, too, if that is right", config.ManagerURL, r.manager.url,
			managerName)
	}
	state, err := url.Parse(config.StateContainerURL)
	if err != nil {
		return errors.New("the address of the state container cannot be read")
	}
	trusted := maia.Loopback(state.Hostname())
	for _, domain := range blobDomains {
		trusted = trusted || strings.HasSuffix(strings.ToLower(state.Hostname()), "."+domain)
	}
	if !trusted {
		return fmt.Errorf("the state container is on %s, which is no address of Azure Storage: your token is not sent there", state.Hostname())
	}
	return nil
}

// checkApps has the function's own code read each app, and Maia.
func (r *run) checkApps(ctx context.Context) error {
	if r.config == nil {
		r.report.Skip("the function's configuration is not known", appCheck)
		return nil
	}
	result, err := r.plan(ctx, *r.config)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		hint := ""
		if lacks := (refused{}); errors.As(err, &lacks) {
			hint = checkWith + lacks.action
		}
		r.report.Warn(appCheck, hint, "the apps and Maia could not be read: %v", err)
		return nil
	}
	if len(r.config.Groups) > 0 {
		r.apps = nil
		for _, target := range result.Targets {
			if strings.Contains(strings.ToLower(target.Target), "/containerapps/") {
				r.apps = append(r.apps, target.Target)
			}
		}
	}
	for _, target := range result.Targets {
		r.judgeApp(ctx, target)
	}
	return nil
}

func (r *run) judgeApp(ctx context.Context, target fleet.TargetResult) {
	name := short(target.Target)
	if target.Error == nil {
		r.report.OK(appCheck, "%s: a call %s", name, doctor.Would(target, r.config.Policy.Every, time.Now()))
		return
	}
	what, hint, denied := doctor.InWords(*target.Error), target.Error.Hint, containerapp.Denied{}
	switch {
	case errors.As(target.Error, &denied): // to the operator's credentials, here
		lacks := denied.Action
		if all, err := r.mayNot(ctx, target.Target); err == nil && len(all) > 0 {
			lacks = strings.Join(all, ", ") + " on it"
		}
		r.report.Warn(appCheck, checkWith+lacks, "%s: could not be tested with your rights: %s", name, what)
	case target.Error.Kind == rotate.NotReady:
		r.report.Warn(appCheck, hint, "%s: in the way of a rotation: %s", name, what)
	default:
		r.report.Problem(appCheck, hint, "%s: in the way of a rotation: %s", name, what)
	}
}

// terraformPage explains how to keep Terraform from putting the first secret back.
const terraformPage = "docs/terraform.md"

// checkTags finds out whether a tool owns the apps, which would put the first secret back.
func (r *run) checkTags(ctx context.Context) {
	const check = "terraform"
	for _, app := range r.apps {
		var found struct {
			Tags map[string]string `json:"tags"`
		}
		if r.manager.get(ctx, app, appVersion, "Microsoft.App/containerApps/read", &found) != nil {
			continue // is reported by the checks before
		}
		for _, name := range slices.Sorted(maps.Keys(found.Tags)) {
			tool := strings.ToLower(found.Tags[name])
			if tool == "terraform" || tool == "opentofu" || strings.EqualFold(name, "terraform") && tool == "true" {
				r.report.Warn(check, "if it is the vendor's configuration: put ignore_changes = [secret] into the lifecycle block of its resource "+
					"app, see "+terraformPage,
					"%s: its tag %s says that Terraform manages it, and an apply of the vendor's configuration puts the first secret back, which a "+
						"rotation has revoked", short(app), name)
				break
			}
		}
	}
}
