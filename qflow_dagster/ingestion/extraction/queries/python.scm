(function_definition) @def.function
(class_definition) @def.class
(call function: (identifier) @call)
(call function: (attribute attribute: (identifier) @call))
(import_statement) @import.import
(import_from_statement) @import.from
(future_import_statement) @import.from
(comment) @comment
(module . (string) @doc)
(class_definition body: (block . (string) @doc))
(function_definition body: (block . (string) @doc))
(if_statement) @if
(elif_clause) @elseif
(if_statement alternative: (else_clause) @else)
(for_statement alternative: (else_clause) @loopelse)
(while_statement alternative: (else_clause) @loopelse)
(try_statement (else_clause) @decision)
(for_statement) @loop
(while_statement) @loop
(except_clause) @catch
(match_statement) @switch
(case_clause (case_pattern) @case)
(conditional_expression) @ternary
(boolean_operator operator: "and") @and
(boolean_operator operator: "or") @or
(lambda) @lambda
(for_in_clause) @decision
(if_clause) @decision
(assert_statement) @decision
