package containerapp

// Actions are what the function's identity needs to be allowed on each app.
func Actions() []string {
	return []string{actionRead, actionWrite, actionListSecrets, actionRevisions, actionRestart, actionReplicas}
}

// DataActions are what it needs to be allowed on the container with the locks and notes.
func DataActions() []string { return []string{actionReadBlob, actionWriteBlob} }
