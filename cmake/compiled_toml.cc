// toml++'s library part out of its headers.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
