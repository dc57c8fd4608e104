package azure

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

const (
	roleCheck       = "role"
	assignmentsRead = "Microsoft.Authorization/roleAssignments/read"
	definitionsRead = "Microsoft.Authorization/roleDefinitions/read"
	permissionsRead = "Microsoft.Authorization/permissions/read"
	roleName        = "maia-rotate runner"
)

// permission is a part of a role: what it allows.
type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

func (p permission) allows(action string) bool {
	return matches(p.Actions, action) && !matches(p.NotActions, action)
}

func (p permission) allowsData(action string) bool {
	return matches(p.DataActions, action) && !matches(p.NotDataActions, action)
}

// matches reports whether one of the patterns, in which * stands for anything, names the action.
func matches(patterns []string, action string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		expression := "(?i)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$"
		matched, err := regexp.MatchString(expression, action)
		return err == nil && matched
	})
}

// grant is what an identity may do somewhere, by one of its roles.
type grant struct {
	permissions []permission
	conditional bool // on something that is not worked out here
}

// grants are those of an identity on a resource.
func (r *run) grants(ctx context.Context, scope, principal string) ([]grant, error) {
	type assignment struct {
		Properties struct {
			Scope     string `json:"scope"`
			Role      string `json:"roleDefinitionId"`
			Condition string `json:"condition"`
		} `json:"properties"`
	}
	found, err := list[assignment](ctx, r.manager, scope+"/providers/Microsoft.Authorization/roleAssignments", authorizationVersion,
		"assignedTo('"+principal+"')", assignmentsRead)
	if err != nil {
		return nil, err
	}
	var grants []grant
	for _, one := range found {
		if !covers(one.Properties.Scope, scope) {
			continue
		}
		var definition struct {
			Properties struct {
				Permissions []permission `json:"permissions"`
			} `json:"properties"`
		}
		if err := r.manager.get(ctx, one.Properties.Role, authorizationVersion, definitionsRead, &definition); err != nil {
			return nil, err
		}
		grants = append(grants, grant{definition.Properties.Permissions, one.Properties.Condition != ""})
	}
	return grants, nil
}

// covers reports whether what is granted at a scope holds for a resource. Azure lists only the management groups that the
// subscription is in, so each of those counts.
func covers(scope, resource string) bool {
	scope, resource = strings.ToLower(strings.TrimRight(scope, "/")), strings.ToLower(resource)
	return scope == "" || resource == scope || strings.HasPrefix(resource, scope+"/") ||
		strings.HasPrefix(scope, "/providers/microsoft.management/")
}

// lacking are the actions that no grant allows, and those that only one with a condition does.
func lacking(grants []grant, actions []string, allows func(permission, string) bool) (none, conditional []string) {
	for _, action := range actions {
		allowed, maybe := false, false
		for _, grant := range grants {
			if slices.ContainsFunc(grant.permissions, func(p permission) bool { return allows(p, action) }) {
				allowed, maybe = allowed || !grant.conditional, maybe || grant.conditional
			}
		}
		switch {
		case allowed:
		case maybe:
			conditional = append(conditional, action)
		default:
			none = append(none, action)
		}
	}
	return none, conditional
}

// checkRoles compares the roles of the function's identity with what the function does.
func (r *run) checkRoles(ctx context.Context) {
	principal := r.principal()
	switch {
	case principal == "":
		r.report.Skip("the function's identity is not known", roleCheck)
		return
	case r.config == nil:
		r.report.Skip("the function's configuration is not known", roleCheck)
		return
	}
	scopes := r.config.Apps
	if len(r.config.Groups) > 0 {
		scopes = r.config.Groups // the apps in them are listed, too
	}
	for _, scope := range scopes {
		r.judgeRole(ctx, wanted{
			scope: scope, what: "rotate " + short(scope), actions: containerapp.Actions(), allows: permission.allows, role: roleName,
		}, principal)
	}
	r.checkStorageRole(ctx, principal)
}

// wanted is what an identity is to be allowed somewhere.
type wanted struct {
	scope, what string
	actions     []string
	allows      func(permission, string) bool
	role        string // that allows it
}

func (r *run) judgeRole(ctx context.Context, want wanted, principal string) {
	grants, err := r.grants(ctx, want.scope, principal)
	if err != nil {
		r.report.Warn(roleCheck, checkWith+assignmentsRead+" and "+definitionsRead,
			"whether the function's identity may %s could not be tested: %v", want.what, err)
		return
	}
	none, conditional := lacking(grants, want.actions, want.allows)
	hint := fmt.Sprintf("assign it the role, and wait some minutes:\naz role assignment create --assignee-object-id %s "+
		"--assignee-principal-type ServicePrincipal --role '%s' --scope %s",
		principal, want.role, want.scope)
	switch {
	case len(none) > 0:
		r.report.Problem(roleCheck, hint, "the function's identity may not %s: no role of it allows %s", want.what, strings.Join(none, ", "))
	case len(conditional) > 0:
		r.report.Warn(roleCheck, "check the conditions of its role assignments",
			"whether the function's identity may %s depends on a condition, for %s", want.what, strings.Join(conditional, ", "))
	default:
		r.report.OK(roleCheck, "the function's identity may %s (%d actions tested)", want.what, len(want.actions))
	}
}

// checkStorageRole checks the account with the locks and notes. Of an account only the name is known: it is searched for
// in the function app's own resource group.
func (r *run) checkStorageRole(ctx context.Context, principal string) {
	const action = "Microsoft.Storage/storageAccounts/read"
	name := r.account()
	if name == "" {
		r.report.Skip("the storage account's name is not known", roleCheck+" in the storage account")
		return
	}
	scope := r.group() + "/providers/Microsoft.Storage/storageAccounts/" + name
	var account struct {
		ID string `json:"id"`
	}
	switch err := r.manager.get(ctx, scope, storageVersion, action, &account); {
	case missing(err):
		r.report.Skip("the account "+name+" is not in the function app's resource group", roleCheck+" in the storage account")
		return
	case err != nil:
		r.report.Warn(roleCheck, checkWith+action, "whether the function's identity may use the storage account could not be tested: %v", err)
		return
	}
	r.judgeRole(ctx, wanted{
		scope: scope, what: "keep locks and notes in " + name, actions: containerapp.DataActions(), allows: permission.allowsData,
		role: "Storage Blob Data Owner",
	}, principal)
}

// account is the name of the storage account with the locks and notes; empty if it has none, as one on this machine.
func (r *run) account() string {
	u, err := url.Parse(r.config.StateContainerURL)
	if err != nil || maia.Loopback(u.Hostname()) {
		return r.settings[hostAccount]
	}
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return name
}

// mayNot are the actions on an app that the operator is not allowed.
func (r *run) mayNot(ctx context.Context, app string) ([]string, error) {
	found, err := list[permission](ctx, r.manager, app+"/providers/Microsoft.Authorization/permissions", authorizationVersion, "",
		permissionsRead)
	if err != nil {
		return nil, err
	}
	none, _ := lacking([]grant{{permissions: found}}, containerapp.Actions(), permission.allows)
	return none, nil
}
