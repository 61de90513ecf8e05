// How --help looks: CLI11's own layout, less what says nothing to a reader.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace shoal::tool {

class HelpFormatter final : public CLI::Formatter {
public:
    HelpFormatter() { column_width(28); }

    // The operand's name and dots where several may come; no list of what excludes or needs what, which the
    // option's description says in words.
    std::string make_option_opts(const CLI::Option* option) const override {
        std::string text;
        if (option->get_type_size() > 0 && !option->get_type_name().empty()) text += " " + option->get_type_name();
        if (option->get_expected_max() > 1) text += " ...";
        return text;
    }

    std::string make_description(const CLI::App* app) const override { return app->get_description() + "\n\n"; }
};

}  // namespace shoal::tool
