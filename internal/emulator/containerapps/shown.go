package containerapps

import "time"

// shown is the app as a GET has it.
func (a *app) shown() map[string]any {
	document := plain(a.document)
	properties := document["properties"].(map[string]any)
	names := []map[string]string{}
	for _, secret := range a.secrets {
		shown := map[string]string{"name": secret.Name}
		if secret.KeyVaultURL != "" {
			shown["keyVaultUrl"], shown["identity"] = secret.KeyVaultURL, secret.Identity
		}
		names = append(names, shown)
	}
	properties["configuration"].(map[string]any)["secrets"] = names
	properties["provisioningState"], properties["runningStatus"] = a.state, "Running"
	document["systemData"] = map[string]any{"lastModifiedAt": a.modified.UTC().Format(time.RFC3339Nano), "lastModifiedBy": a.modifier}
	return document
}

func (a *app) shownRevisions() []map[string]any {
	all := []map[string]any{}
	for _, r := range a.revisions {
		template := plain(a.document)["properties"].(map[string]any)["template"]
		properties := map[string]any{
			"active": r.active, "createdTime": r.created.UTC().Format(time.RFC3339), "provisioningState": "Provisioned", "template": template,
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
		case failed > 0:
			properties["runningState"], properties["healthState"] = "Degraded", "Unhealthy"
		case ready < len(r.replicas):
			properties["runningState"], properties["healthState"] = "Processing", "None"
		case len(r.replicas) == 0:
			properties["runningState"] = "Stopped"
		}
		all = append(all, map[string]any{"name": r.name, "type": "Microsoft.App/containerapps/revisions", "properties": properties})
	}
	return all
}

func (r *revision) shownReplicas() []map[string]any {
	all := []map[string]any{}
	for _, one := range r.replicas {
		state, container := "Running", map[string]any{"name": "runner", "ready": one.ready, "started": one.ready, "restartCount": 0, "runningState": "Running"}
		if !one.ready {
			state, container["runningState"] = "NotRunning", "Waiting"
		}
		if one.failed {
			container["restartCount"], container["runningStateDetails"] = 3, "CrashLoopBackOff"
		}
		all = append(all, map[string]any{"name": one.name, "properties": map[string]any{
			"createdTime": one.created.UTC().Format(time.RFC3339Nano), "runningState": state, "containers": []any{container},
		}})
	}
	return all
}
