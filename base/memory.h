#pragma once
// What a process that runs for months gives back after its start. It changes nothing that can be seen but
// memory.

namespace agentmesh {

// Gives freed heap back, and lets go of the pages of code and constants of every loaded object: most were
// read by the start alone. What is used again is mapped again from the page cache, microseconds a page.
// Segments that are or were writable are left alone, because they differ from their file.
void release_start_memory();

}  // namespace agentmesh
