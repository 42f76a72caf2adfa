// send and inbox: assignments through the hub.
#include "base/ids.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/daemon_client.h"
#include "cli/output.h"

#include <iostream>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

Result<int> set_item(const Arguments& arguments, const char* verb) {
  const auto item =
      post_json(fmt::format("/v1/inbox/{}/{}", percent_encode(arguments.text("ID")), verb), json::object());
  if (!item) return pass(item.error());
  print(arguments.json() ? item->dump() + "\n"
                         : fmt::format("{} is {}\n", text_of(*item, "id"), text_of(*item, "state")));
  return 0;
}

}  // namespace

Result<int> run_send(const Arguments& arguments) {
  if (!arguments.has("--title"))
    return fail(ErrorCode::invalid, "usage", "--title is needed", "agentmesh send --help");
  json body{{"to", arguments.text("NAME")},
            {"title", arguments.text("--title")},
            {"idempotency_key", random_hex(16)}};
  std::string text = arguments.text("--body");
  if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
  body["body"] = text;
  if (arguments.has("--priority")) body["priority"] = arguments.text("--priority");
  if (arguments.has("--ttl")) {
    const auto ttl = parse_duration(arguments.text("--ttl"));
    if (!ttl) return pass(ttl.error());
    body["ttl_s"] = ttl->count() / 1000;
  }
  const auto item = post_json("/v1/inbox", body);
  if (!item) return pass(item.error());
  print(arguments.json() ? item->dump() + "\n"
                         : fmt::format("{} is {}\n", text_of(*item, "id"), text_of(*item, "state")));
  return 0;
}

Result<int> run_inbox(const Arguments& arguments) {
  std::string path = "/v1/inbox?all=" + std::string(arguments.has("--all") ? "1" : "0");
  if (arguments.has("NAME")) path += "&agent=" + percent_encode(arguments.text("NAME"));
  const auto items = get_json(path, IfDown::start);
  if (!items) return pass(items.error());
  if (arguments.json()) {
    print(items->dump() + "\n");
    return 0;
  }
  std::vector<Row> rows{{"ID", "TO", "STATE", "PRIORITY", "AGE", "TITLE", "REASON"}};
  for (const json& item : *items) {
    rows.push_back({text_of(item, "id"), text_of(item, "to"), text_of(item, "state"),
                    text_of(item, "priority"), age_of(text_of(item, "created_at")), text_of(item, "title"),
                    text_of(item, "reason")});
  }
  print(table(rows));
  return 0;
}

Result<int> run_inbox_done(const Arguments& arguments) { return set_item(arguments, "done"); }

Result<int> run_inbox_fail(const Arguments& arguments) { return set_item(arguments, "fail"); }

Result<int> run_inbox_retry(const Arguments& arguments) { return set_item(arguments, "retry"); }

}  // namespace agentmesh::cli
