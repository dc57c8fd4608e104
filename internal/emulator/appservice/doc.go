// Package appservice emulates what Azure Resource Manager shows of a deployed function app over HTTP: the app itself, its
// settings, what came of their references to Key Vault, its functions, and who may do what: role assignments, role
// definitions, and the permissions of the caller. All of it can be read only.
//
//	server := &appservice.Server{Token: "token", Sites: []*appservice.Site{{ID: "/subscriptions/…/providers/Microsoft.Web/sites/x", …}}}
//
// It is strict where the service is: a bearer token, a version in each request, settings by POST …/config/appsettings/list
// only. Errors are in Resource Manager's format. Lists come in pages of two. What it does not know, other parts of Resource
// Manager may: see [Server.Next].
package appservice
