locals {
  resource_group = try(split("/", var.resource_group_id)[4], "") # a wrong ID fails its validation
  vault          = try(split("/", var.key_vault_id)[8], "")
  unique         = sha1("${lower(var.resource_group_id)} ${var.name}")

  # One that is not given is empty, and not left out: an update may keep settings that it does not name.
  settings = {
    AzureWebJobsStorage__accountName          = azurerm_storage_account.function.name
    AzureWebJobsStorage__credential           = "managedidentity"
    APPLICATIONINSIGHTS_CONNECTION_STRING     = azurerm_application_insights.function.connection_string
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "Authorization=AAD"
    ROTATION_SCHEDULE                         = "0 */${var.call_every_minutes} * * * *"
    MAIA_CONTAINER_APPS                       = join(",", sort([for id in var.container_apps : id]))
    MAIA_RESOURCE_GROUPS                      = join(",", sort(var.resource_groups))
    MAIA_AGENT_IDS                            = join(",", sort(var.agent_ids))
    MAIA_CLIENT_ID                            = var.maia_client_id
    MAIA_CLIENT_SECRET                        = "@Microsoft.KeyVault(SecretUri=https://${local.vault}.vault.azure.net/secrets/${var.secret_name})"
    MAIA_REGION                               = var.maia_region == null ? "" : var.maia_region
    MAIA_ROTATE_EVERY                         = var.rotate_every
    MAIA_ROTATE_WINDOW                        = var.rotate_window == null ? "" : var.rotate_window
    MAIA_ROTATE_FIRST                         = join(",", sort(var.rotate_first))
    MAIA_ROTATE_SOAK                          = length(var.rotate_first) == 0 ? "" : var.rotate_soak
    MAIA_ROTATE_DRAIN                         = var.drain
    MAIA_ROTATE_DRAIN_TIMEOUT                 = var.drain_timeout
    MAIA_ROTATE_CONNECT_TIMEOUT               = var.connect_timeout
  }
}

# It holds the function's code, the host's keys and the timer's lock, and the runners' locks and notes.
resource "azurerm_storage_account" "function" {
  name                            = "maiarotate${substr(local.unique, 0, 13)}"
  resource_group_name             = local.resource_group
  location                        = var.location
  account_kind                    = "StorageV2"
  account_tier                    = "Standard"
  account_replication_type        = "LRS"
  allow_nested_items_to_be_public = false
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  tags                            = var.tags
}

resource "azurerm_storage_container" "packages" {
  name                  = "packages"
  storage_account_id    = azurerm_storage_account.function.id
  container_access_type = "private"
}

resource "azurerm_storage_container" "state" {
  name                  = "maia-rotate"
  storage_account_id    = azurerm_storage_account.function.id
  container_access_type = "private"
}

resource "azurerm_log_analytics_workspace" "function" {
  name                = var.name
  resource_group_name = local.resource_group
  location            = var.location
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  tags                = var.tags
}

resource "azurerm_application_insights" "function" {
  name                          = var.name
  resource_group_name           = local.resource_group
  location                      = var.location
  application_type              = "web"
  workspace_id                  = azurerm_log_analytics_workspace.function.id
  local_authentication_disabled = true
  tags                          = var.tags
}

resource "azurerm_service_plan" "function" {
  name                = var.name
  resource_group_name = local.resource_group
  location            = var.location
  os_type             = "Linux"
  sku_name            = "FC1"
  tags                = var.tags
}

# Not azurerm_function_app_flex_consumption: without a storage key it sets AzureWebJobsStorage to an empty connection string,
# with which the host does not start.
resource "azapi_resource" "function" {
  type      = "Microsoft.Web/sites@2024-04-01"
  name      = "${var.name}-${substr(local.unique, 0, 8)}"
  parent_id = var.resource_group_id
  location  = var.location
  tags      = var.tags

  identity {
    type = "SystemAssigned"
  }

  body = {
    kind = "functionapp,linux"
    properties = {
      serverFarmId           = azurerm_service_plan.function.id
      httpsOnly              = true
      virtualNetworkSubnetId = var.subnet_id
      siteConfig             = { minTlsVersion = "1.2" }
      functionAppConfig = {
        deployment = {
          storage = {
            type           = "blobContainer"
            value          = "${azurerm_storage_account.function.primary_blob_endpoint}${azurerm_storage_container.packages.name}"
            authentication = { type = "SystemAssignedIdentity" }
          }
        }
        scaleAndConcurrency = {
          maximumInstanceCount = var.maximum_instance_count
          instanceMemoryMB     = var.instance_memory_mb
        }
        runtime = { name = "custom", version = "1.0" }
      }
    }
  }

  ignore_null_property   = true
  response_export_values = ["properties.defaultHostName"]
}

# After the roles, so that the reference to the Key Vault can be followed from the beginning.
resource "azapi_update_resource" "settings" {
  type      = "Microsoft.Web/sites/config@2024-04-01"
  name      = "appsettings"
  parent_id = azapi_resource.function.id
  body      = { properties = local.settings }

  depends_on = [azurerm_role_assignment.storage, azurerm_role_assignment.log, azurerm_role_assignment.secret, azurerm_role_assignment.apps, azurerm_role_assignment.groups]
}
