#include "shuffle/json_text.hpp"

#include <simdjson.h>

#include <nlohmann/json.hpp>

namespace shoal::shuffling {

std::string json_string(std::string_view text) {
    return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_utf8(std::string_view text) noexcept { return simdjson::validate_utf8(text.data(), text.size()); }

}  // namespace shoal::shuffling
