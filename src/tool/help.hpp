// How --help looks: CLI11's own layout, less what says nothing to a reader.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace shoal::tool {

class HelpFormatter final : public CLI::Formatter {
public:
    HelpFormatter() { column_width(28); }

    // The operand's name and dots where several may come. What it may be, excludes or needs the option's
    // description says in words.
    std::string make_option_opts(const CLI::Option* option) const override {
        std::string text;
        const std::string type = option->get_type_name();
        if (option->get_type_size() > 0 && !type.empty()) text += " " + type.substr(0, type.find(':'));
        if (option->get_expected_max() > 1) text += " ...";
        return text;
    }

    std::string make_description(const CLI::App* app) const override { return app->get_description() + "\n\n"; }
};

}  // namespace shoal::tool
