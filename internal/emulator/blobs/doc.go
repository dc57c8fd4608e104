// Package blobs emulates a storage account of Azure over HTTP, as far as small documents with leases need it: containers
// that are made, block blobs that are put and got, and their leases.
//
//	server := blobs.New("token") // https://ANY.HOST/CONTAINER/BLOB
//
// It is strict where Microsoft's documentation is: the version of the protocol is required, conditions on ETags hold, a
// leased blob is written with its lease's ID only, leases last 15 to 60 seconds or until they are released, and can be
// renewed after their end as long as nobody has written the blob or leased it. Errors have the service's codes.
//
// Left out: everything else, which is answered with 405.
package blobs
