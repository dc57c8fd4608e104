locals {
  principal_id = azapi_resource.function.identity[0].principal_id
}

# The Functions host reads and writes blobs and makes containers: Microsoft's documentation names this role for it. A timer
# needs no queue and no table.
resource "azurerm_role_assignment" "storage" {
  scope                = azurerm_storage_account.function.id
  role_definition_name = "Storage Blob Data Owner"
  principal_id         = local.principal_id
  principal_type       = "ServicePrincipal"
  description          = "The Functions host keeps its keys and the timer's lock in this account and fetches the code from it; the function keeps the runners' locks and notes in it."
}

resource "azurerm_role_assignment" "log" {
  scope                = azurerm_application_insights.function.id
  role_definition_name = "Monitoring Metrics Publisher"
  principal_id         = local.principal_id
  principal_type       = "ServicePrincipal"
  description          = "The Functions host sends the log here."
}

resource "azurerm_role_assignment" "secret" {
  scope                = "${var.key_vault_id}/secrets/${var.secret_name}"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = local.principal_id
  principal_type       = "ServicePrincipal"
  description          = "The function app reads the client secret of the Maia API credential."
}

resource "azurerm_role_definition" "runner" {
  name        = var.role_name
  scope       = var.resource_group_id
  description = "Rotate the client secret of a Maia runner: read its Container App, write its secrets, restart its revisions."

  permissions {
    actions = [
      "Microsoft.App/containerApps/read",
      "Microsoft.App/containerApps/write",
      "Microsoft.App/containerApps/listSecrets/action",
      "Microsoft.App/containerApps/revisions/read",
      "Microsoft.App/containerApps/revisions/restart/action",
      "Microsoft.App/containerApps/revisions/replicas/read",
    ]
  }

  assignable_scopes = distinct(concat(
    [var.resource_group_id],
    [for id in var.container_apps : regex("^/subscriptions/[^/]+/resourceGroups/[^/]+", id)],
    sort(var.resource_groups),
  ))
}

resource "azurerm_role_assignment" "apps" {
  for_each = var.container_apps

  scope              = each.value
  role_definition_id = azurerm_role_definition.runner.role_definition_resource_id
  principal_id       = local.principal_id
  principal_type     = "ServicePrincipal"
  description        = "The function rotates the secret of this runner."
}

resource "azurerm_role_assignment" "groups" {
  for_each = var.resource_groups

  scope              = each.value
  role_definition_id = azurerm_role_definition.runner.role_definition_resource_id
  principal_id       = local.principal_id
  principal_type     = "ServicePrincipal"
  description        = "The function finds the tagged apps of this resource group, and rotates the secrets of those that are runners."
}
