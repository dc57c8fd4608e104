package containerapp

import (
	"context"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The tag by which an app is found in its resource group.
const (
	Tag      = "maia-rotate"
	TagValue = "enabled"
)

// Tagged are the resource IDs of the apps in a resource group that have the tag, as Azure lists them. It uses only Credential and
// Client of the Config.
func Tagged(ctx context.Context, config Config, resourceGroup string) ([]string, error) {
	id, err := arm.ParseResourceID(resourceGroup)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), arm.ResourceGroupResourceType.String()) {
		return nil, rotate.Errorf(rotate.Configuration,
			"%q is not the resource ID of a resource group, expected /subscriptions/S/resourceGroups/G", resourceGroup)
	}
	client, err := armappcontainers.NewContainerAppsClient(id.SubscriptionID, config.Credential, config.client())
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the client of Azure Resource Manager cannot be made: %w", err)
	}
	var ids []string
	for pages := client.NewListByResourceGroupPager(id.ResourceGroupName, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, failure("list the apps of resource group "+id.ResourceGroupName, actionRead+" in the resource group", err)
		}
		for _, app := range present(page.Value) {
			if app.ID != nil && tagged(app.Tags) {
				ids = append(ids, *app.ID)
			}
		}
	}
	return ids, nil
}

// tagged reports whether an app has the tag. The case of a tag's name does not matter to Azure; that of its value does.
func tagged(tags map[string]*string) bool {
	for name, given := range tags {
		if strings.EqualFold(name, Tag) && value(given) == TagValue {
			return true
		}
	}
	return false
}
