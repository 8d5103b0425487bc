//! What the example programs share: an HTTP/1.1 core, its client, an accept loop, the command line.
//!
//! The programs are in `src/bin`; each is one page to read and runs by itself:
//!
//! | program | shows |
//! |---|---|
//! | `tour` | everything below in 20 seconds, with figures beside OS threads |
//! | `sieve` | a pipeline of channels that grows while it runs |
//! | `skynet` | a million goroutines in a tree |
//! | `ring` | a token passed around: the cost of a switch |
//! | `pipeline` | fan-out and fan-in over real files |
//! | `echo` | a TCP server, one goroutine per connection |
//! | `http` | a keep-alive HTTP/1.1 server |

pub mod cli;
pub mod client;
pub mod http1;
pub mod server;
