(method_declaration) @def.method
(constructor_declaration) @def.method
(destructor_declaration) @def.method
(operator_declaration) @def.method
(local_function_statement) @def.function
(class_declaration) @def.class
(record_declaration) @def.class
(struct_declaration) @def.struct
(interface_declaration) @def.interface
(enum_declaration) @def.enum
(namespace_declaration) @def.module
(invocation_expression function: (identifier) @call)
(invocation_expression function: (member_access_expression name: (identifier) @call))
(object_creation_expression type: (identifier) @call)
(using_directive) @import.using
(comment) @comment
(if_statement) @if
(if_statement alternative: (if_statement) @elseif)
(if_statement alternative: (_) @else)
(for_statement) @loop
(foreach_statement) @loop
(while_statement) @loop
(do_statement) @loop
(catch_clause) @catch
(switch_statement) @switch
(switch_expression) @switch
(switch_section "case") @case
(switch_expression_arm . (_) @_pattern (#not-eq? @_pattern "_")) @case
(conditional_expression) @ternary
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(binary_expression operator: "??") @decision
(lambda_expression) @lambda
(anonymous_method_expression) @lambda
(goto_statement) @jump
