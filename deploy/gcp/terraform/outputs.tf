output "function_name" {
  description = "The function."
  value       = google_cloudfunctions2_function.rotation.id
}

output "function_url" {
  description = "Where Cloud Scheduler calls it."
  value       = google_cloudfunctions2_function.rotation.service_config[0].uri
}

output "service_account_email" {
  description = "The function's service account, as which a cluster knows it."
  value       = google_service_account.function.email
}

output "rbac" {
  description = "For each release, the Role and the RoleBinding that let the function work in its namespace, as YAML. Apply them with kubectl."
  value = {
    for release in var.releases : release => replace(
      replace(
        regex("(?s)apiVersion:.*", file("${path.module}/../kubernetes/rbac.yaml")),
        "RUNNER_NAMESPACE", split("/", release)[7],
      ),
      "FUNCTION_SERVICE_ACCOUNT", google_service_account.function.email,
    )
  }
}

output "commands" {
  description = "To check and to act: check shows what a call would do and changes nothing; call rotates what is due now."
  value = {
    check = "maia-rotate doctor gcp --function ${google_cloudfunctions2_function.rotation.id}"
    call  = "gcloud scheduler jobs run ${google_cloud_scheduler_job.rotation.name} --project ${var.project} --location ${var.region}"
    log   = "gcloud logging read '${local.log}' --project ${var.project} --freshness 1d"
  }
}
