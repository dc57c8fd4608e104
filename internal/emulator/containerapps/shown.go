package containerapps

import (
	"slices"
	"time"
)

// shown is the app as a GET has it.
func (a *app) shown() map[string]any {
	document := plain(a.document)
	properties := document["properties"].(map[string]any)
	names := []any{}
	for _, secret := range a.secrets {
		shown := map[string]any{"name": secret.Name}
		if secret.KeyVaultURL != "" {
			shown["keyVaultUrl"], shown["identity"] = secret.KeyVaultURL, secret.Identity
		}
		names = append(names, shown)
	}
	properties["configuration"].(map[string]any)["secrets"] = names
	properties["provisioningState"], properties["runningStatus"] = a.state, "Running"
	if a.stopped {
		properties["runningStatus"] = "Stopped"
	}
	document["systemData"] = map[string]any{"lastModifiedAt": a.modified.UTC().Format(time.RFC3339Nano), "lastModifiedBy": a.modifier}
	return document
}

func (s *Server) shownRevisions(a *app) []any {
	all := []any{}
	for _, r := range a.revisions {
		properties := map[string]any{
			"active": r.active, "createdTime": r.created.UTC().Format(time.RFC3339), "provisioningState": "Provisioned",
			"template": map[string]any{"containers": s.masked(a, r.containers),
				"scale": map[string]any{"minReplicas": r.minimum, "maxReplicas": r.minimum}},
			"replicas": len(r.replicas), "runningState": "Running", "healthState": "Healthy",
		}
		ready, failed := 0, 0
		for _, one := range r.replicas {
			if one.ready {
				ready++
			}
			if one.failed {
				failed++
			}
		}
		switch {
		case len(r.replicas) == 0:
			properties["runningState"], properties["healthState"] = "Stopped", "None"
		case failed > 0:
			properties["runningState"], properties["healthState"] = "Degraded", "Unhealthy"
		case ready < len(r.replicas):
			properties["runningState"], properties["healthState"] = "Processing", "None"
		}
		s.misstate(r, properties)
		all = append(all, map[string]any{
			"id": a.id + "/revisions/" + r.name, "name": r.name, "type": "Microsoft.App/containerapps/revisions", "properties": properties,
		})
	}
	return all
}

func (s *Server) shownReplicas(r *revision) []any {
	all := []any{}
	if s.played["no-replicas-shown"] && r.restarts > 0 && time.Since(r.restarted) < 4*time.Minute {
		return all
	}
	for _, one := range slices.Concat(r.leaving, r.replicas) {
		state := "Running"
		container := map[string]any{
			"name": "runner", "ready": one.ready, "started": one.ready, "restartCount": one.restarts, "runningState": "Running",
		}
		if !one.ready {
			state, container["runningState"] = "NotRunning", "Waiting"
		}
		if one.failed {
			container["restartCount"], container["runningStateDetails"] = one.restarts+3, "CrashLoopBackOff"
		}
		all = append(all, map[string]any{"name": one.name, "type": "Microsoft.App/containerapps/revisions/replicas", "properties": map[string]any{
			"createdTime": one.created.UTC().Format(time.RFC3339Nano), "runningState": state, "containers": []any{container},
		}})
	}
	return all
}
