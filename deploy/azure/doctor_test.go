package azure_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctorazure "github.com/maia-rotate/maia-rotate/internal/doctor/azure"
	"github.com/maia-rotate/maia-rotate/internal/doctor/azure/azuretest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/appservice"
)

// What is deployed is in order for the doctor: the app, its settings but for those that name something, and the role.
func TestTheDoctorFindsNothing(t *testing.T) {
	for name, d := range both(t, plainVariant) {
		i := azuretest.New(t)
		settings := maps.Clone(d.settings)
		for _, naming := range []string{
			"MAIA_CONTAINER_APPS", "MAIA_AGENT_IDS", "MAIA_CLIENT_ID", "MAIA_CLIENT_SECRET", "MAIA_API_URL", "MAIA_TOKEN_URL",
			"MAIA_STATE_CONTAINER_URL",
			"AZURE_RESOURCE_MANAGER_URL", "AzureWebJobsStorage__accountName",
		} {
			settings[naming] = i.Site.Settings[naming]
		}
		i.Site.Settings, i.Site.Kind = settings, fmt.Sprint(d.app["kind"])
		i.Site.Identity["type"], i.Site.Properties["functionAppConfig"] = d.app["identity"], d.app["functionAppConfig"]
		i.Manager.Roles[0].Permissions = []appservice.Permission{{Actions: d.role["actions"]}}
		report, err := (&doctorazure.Checker{Credential: azuretest.Operator{}, ManagerURL: i.ManagerURL}).Check(t.Context(),
			azuretest.FunctionApp)
		if err != nil || report.Count(doctor.OK) != len(report.Findings) || len(report.NotChecked) > 0 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
