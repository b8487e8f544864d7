(function_definition) @def.function
(command name: (command_name (word) @call))
(command name: (command_name (word) @_source) argument: (_) (#any-of? @_source "source" ".")) @import.source
(comment) @comment
[(list) (binary_expression)] @binary
