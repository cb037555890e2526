// Package strictjson finds what package encoding/json passes over in silence: [Decoded] what
// json.Unmarshal has dropped or changed, [Encoded] what json.Marshal has replaced. The
// documentation of store.JSON says what that is.
package strictjson
