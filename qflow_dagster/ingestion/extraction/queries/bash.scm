(function_definition) @def.function
(command name: (command_name (word) @call))
(command name: (command_name (word) @_source) argument: (_) (#any-of? @_source "source" ".")) @import.source
(comment) @comment
(if_statement) @if
(elif_clause) @elseif
(else_clause) @else
(for_statement) @loop
(c_style_for_statement) @loop
(while_statement) @loop
(case_statement) @switch
(case_item . value: (_) @_pattern (#not-eq? @_pattern "*")) @case
(list "&&") @and
(list "||") @or
