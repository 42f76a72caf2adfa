#pragma once
// Reading JSON that others wrote, where a wrong type is the same as an absent member; and text fit for a
// Signal. Internal to agents/.

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace agentmesh::agents {

constexpr std::size_t kMaxIdBytes = 128;  // of another program's id; longer ones are not taken
constexpr std::size_t kMaxVersionBytes = 32;

// The member when it is a string, else "".
std::string text_at(const nlohmann::json& object, std::string_view key);
// As text_at, for ids: "" too when it is longer than kMaxIdBytes or not printable ASCII.
std::string id_at(const nlohmann::json& object, std::string_view key);
// The member when it is an object, else an empty object.
const nlohmann::json& object_at(const nlohmann::json& object, std::string_view key);
std::optional<std::int64_t> whole_at(const nlohmann::json& object, std::string_view key);

constexpr std::int64_t kMaxEpochMs = 4'102'444'800'000;  // the year 2100: a later time is nonsense

// One line without control characters, cut at a character's end to kMaxSignalDetail bytes.
std::string one_line(std::string_view text);

// The digits that a pattern matched; 0 when it matched none.
int number_of(std::string_view digits);

// The version a text begins with, like "2.1.331": digits and dots, at most kMaxVersionBytes; "" when it does
// not.
std::string version_of(std::string_view text);

// What a person is asked to allow: visible_line of at most kMaxSignalDetail bytes.
std::string asked_line(std::string_view text);

// Does a provider's message speak of a limit of use (as opposed to a passing failure)?
bool speaks_of_limit(std::string_view message);

}  // namespace agentmesh::agents
