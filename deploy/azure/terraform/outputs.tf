output "function_app_id" {
  description = "The function app."
  value       = azapi_resource.function.id
}

output "principal_id" {
  description = "The object ID of its system-assigned identity."
  value       = local.principal_id
}

output "state_container_url" {
  description = "The container with the runners' locks and notes."
  value       = "${azurerm_storage_account.function.primary_blob_endpoint}${azurerm_storage_container.state.name}"
}

output "commands" {
  description = "To give the app its code, to check, and to act: check shows what a call would do and changes nothing; call rotates what is due now."
  value = {
    deploy = "az functionapp deployment source config-zip --subscription ${split("/", var.resource_group_id)[2]} --resource-group ${local.resource_group} --name ${azapi_resource.function.name} --src maia-rotate.zip"
    check  = "maia-rotate doctor azure --function-app ${azapi_resource.function.id}"
    call   = "curl --fail --json '{}' --header \"x-functions-key: $(az functionapp keys list --ids ${azapi_resource.function.id} --query masterKey --output tsv)\" https://${azapi_resource.function.output.properties.defaultHostName}/admin/functions/RotateRunnerSecrets"
    log    = "az monitor app-insights query --ids ${azurerm_application_insights.function.id} --offset 1d --analytics-query 'traces | extend line = parse_json(message) | where isnotempty(line.msg) | project timestamp, message'"
  }
}
