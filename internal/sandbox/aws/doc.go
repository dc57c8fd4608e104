// Package aws is a whole world for the rotation function, on loopback: a Maia, a Secrets Manager and an ECS that
// answer over HTTP, and a Lambda that runs the compiled function. They are wired as an operator's account is: a task of
// the runner reads the secret when it starts and logs in to Maia with it, and a rotation of the secret invokes the
// function.
//
//	binary, err := aws.Build(ctx, dir)
//	world, err := aws.New(ctx, aws.Options{Binary: binary})
//	defer world.Close()
//	end, err := world.Rotate(ctx)   // end.Name is RotationSucceeded
//	for _, proof := range world.Proofs() { … }
//
// What goes wrong in it is a [Fault]; [World.Play] rotates with the fault of the world, and heals. Whether all came out
// well is for [World.Proofs] to say, which reads the services themselves, and never what the function says of itself.
package aws
