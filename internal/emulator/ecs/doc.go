// Package ecs emulates the part of Amazon ECS that restarts services: services,
// their rolling deployments, and tasks that read secrets when they start.
//
//	server := ecs.New(ecs.Options{SecretValue: secrets.Value, StartTask: logIn, StopTask: logOut})
//	defer server.Close()
//	server.AddCluster("runners")
//	definition := server.RegisterTaskDefinition("runner", ecs.Container{Name: "runner", Secrets: …})
//	server.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "runner", TaskDefinition: definition, DesiredCount: 1})
//	http.ListenAndServe(address, server) // the AWS SDK talks to it
//
// Emulated: ListServices, DescribeServices, DescribeTaskDefinition and UpdateService. A forced deployment is a new PRIMARY one
// next to the ACTIVE one before it; after Options.StartDelay its tasks resolve their secrets and start, after Options.RollDelay
// the tasks of the older ones stop. A deployment may fail, be rolled back, or never end.
//
// Strict where the service is: a missing service is an entry of failures in DescribeServices and an error in UpdateService; ten
// services a call; a service is found only in its own cluster; a service that CodeDeploy or another controller deploys refuses a
// forced deployment; a task definition that does not exist is a ClientException.
//
// Left out: everything that does not affect a restart, such as networks, load balancers, capacity, images, most events of a
// service, and the order of starting and stopping other than "start the new ones first".
//
// [Quirks] are other ways in which the real service may behave.
package ecs
